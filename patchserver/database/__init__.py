"""The database: its engine, its tables and the steps that make its schema."""
