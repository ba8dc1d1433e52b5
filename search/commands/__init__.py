"""One file a command: each opens what it needs, calls the rooms, and reports. Orchestration only.

`session.py` is what launch, sync and retrain have in common; `driver.py` is the loop of a launch.
Whoever wants a new command adds a file here, a function in `cli.py`, and a row in README.

May import: every room.
"""
