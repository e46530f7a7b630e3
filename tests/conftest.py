"""What all tests share."""

from hypothesis import settings

# A property says nothing about time, and on a busy machine any example may take long.
settings.register_profile("unskip", deadline=None)
settings.load_profile("unskip")
