"""What several commands have done for them: plain functions on frozen requests, above the library and below commands.

They say on the console what goes on; like the commands, they import what is heavy where it is used.
"""
