from setuptools import setup

setup(name="sgl-kernel", version="0.3.0", packages=["sgl_kernel"])
