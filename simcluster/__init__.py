"""simcluster"""
