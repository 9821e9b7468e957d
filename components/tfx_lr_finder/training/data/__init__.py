"""Data sets as the trainings read them."""
