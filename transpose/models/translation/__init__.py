"""Unpaired image translation: generators, discriminators and the projections of patches (CUT, FastCUT, CycleGAN)."""
