"""What stands around your code, and is Drydock's: `copier update` mends it, with tests/runtime."""
