"""The refresh of the catalogue: what its sources say today goes into `extensions/catalogue/`.

command    the command line, the order of the steps, the exit code
rows       the files of the catalogue: read, change, check, compare, write
schema     what each row may be (schema.json)
reading    how a source is asked: time limit, retries, and the sentence when it does not answer
registry   one repository of a container registry
images     rows of python, nvidia/cuda and uv images: tags, digests, NVIDIA_REQUIRE_CUDA
wheels     rows of frameworks and tools: releases, their Pythons, what was withdrawn
libraries  rows of libraries that the wheels pull in, such as cuDNN
dates      end-of-life dates
nvidia     driver branches and CUDA releases, as NVIDIA lists them
"""
