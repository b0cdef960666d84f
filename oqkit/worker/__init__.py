"""Running functions: leases in, outcomes out. Knows neither stores nor frames."""
