"""The folder in which the servers of a run keep their data and logs."""

import shutil
import sys


def put_away(folder, passed):
    """Removes the folder of a run that passed, or that left nothing; tells where the others' is."""
    if passed or not any(folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"folders and logs of the servers: {folder}", file=sys.stderr)
