"""The two models that ranklet is shown and measured with."""
