"""The project itself: documents, packages, benchmarks, and the rules of its folders."""
