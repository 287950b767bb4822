"""What notes can be exported as: one function per form, from notes to text."""

from keeper.exporters.csv import csv
from keeper.exporters.markdown import markdown

EXPORTERS = {"csv": csv, "markdown": markdown}
