"""Python and pandas values to Arrow and back, exactly."""
