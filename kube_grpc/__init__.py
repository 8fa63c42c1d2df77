"""kube_grpc"""
