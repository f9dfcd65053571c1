"""``python -m rtpose``, where the command ``rtpose`` is not on the path."""

from rtpose.cli import main

if __name__ == "__main__":
    main()
