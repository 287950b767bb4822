"""From two trees to one patch, proven by applying it before anybody sees it."""
