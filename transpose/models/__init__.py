"""Networks: modules and nothing else. Normalisation is each model's first layer."""
