"""The three verbs asked of an LLM (generate, embed, choose): on this machine, a server, or a user's own backend."""
