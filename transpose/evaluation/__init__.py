"""How good a localizer is: tables, plots and the report page."""
