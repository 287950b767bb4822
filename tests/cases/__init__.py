"""Cases from the life of installs and publishers, as scripts that run real commands.

`publisher`: at work in their repository; `owners`: of an install and of its files; `updates`: what
stands in their way.
"""
