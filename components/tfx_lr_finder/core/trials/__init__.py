"""Trials before a long training: how many steps they may take, and what they settle."""
