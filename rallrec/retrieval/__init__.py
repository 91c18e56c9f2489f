"""Which items of a user's history are shown: retrieval, selectors, the learned reranker."""
