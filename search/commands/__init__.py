"""The commands, one file each: open what is needed, call the other packages, and report.

`session.py` holds what launch, sync and retrain have in common; `driver.py` is the loop of a
launch, and `commits.py` records its trials; `home.py` opens a home that was moved or can only be
read; `retrain_run.py` writes the run of a retrain, `export_page.py` is the page of an export, and
`score_tables.py` shows what a retrain finds on the test set. A new command needs a file here, a
function in `cli.py`, and a row in README.

May import: every package.
"""
