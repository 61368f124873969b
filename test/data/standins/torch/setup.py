from setuptools import setup

setup(name="torch", version="2.9.1+rocm7.2", packages=["torch"])
