"""The three verbs asked of an LLM (generate, embed, choose), on this machine, on a server, or behind a user's backend."""
