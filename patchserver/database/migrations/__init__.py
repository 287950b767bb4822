"""The steps that make the schema; run by `patchserver.database.engine.Database`."""
