"""A simulated fleet: many edited projects, updated through every release."""
