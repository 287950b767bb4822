"""The `updater` command: arguments in, words, exit codes and a progress bar out.

`terminal` is shared with the commands of patchtool and patchserver.
"""
