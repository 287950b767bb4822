"""New files beside the old ones, whole and verified, and the steps that will put them in place.

Changes nothing that is live.
"""
