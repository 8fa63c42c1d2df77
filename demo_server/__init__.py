"""demo_server"""
