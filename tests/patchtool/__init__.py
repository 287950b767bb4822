"""Tests of the build tool; `patchtool` says what its folders hold."""
