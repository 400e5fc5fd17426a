"""``python -m tfclassify``: the same as the ``tfclassify`` command."""

from tfclassify.cli.main import run

if __name__ == "__main__":
    run()
