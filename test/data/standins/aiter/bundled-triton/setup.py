from setuptools import setup

setup(name="triton", version="3.5.0", packages=["triton"])
