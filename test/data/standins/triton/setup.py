from setuptools import setup

setup(name="triton", version="3.4.0+image", packages=["triton"])
