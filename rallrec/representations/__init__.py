"""What an item is: texts, LightGCN, alignment, and what is mixed of them (paper, sections 2.2.1 to 2.2.4)."""
