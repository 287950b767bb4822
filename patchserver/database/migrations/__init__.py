"""How the schema came to be, step by step; run by `patchserver.database.engine.Database`."""
