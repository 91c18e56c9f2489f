"""Ratings: loading by name, raw files and their readers, the one form in which every data set is used, its split."""
