"""The experiments: the tables' rows, the released code's protocol, other seeds of the adapter, knobs."""
