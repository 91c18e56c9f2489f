"""What turns the shown history into P(the user likes the target): the vote, LightGBM, the LLM and its adapter."""
