#!/bin/sh
# Keep a dated copy of the notes file beside it.
set -eu
notes="${1:-$HOME/.notes.json}"
cp -p "$notes" "$notes.$(date +%Y-%m-%d)"
