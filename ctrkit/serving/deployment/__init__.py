"""What a team deploys: settings and manifests of the real TensorFlow Serving, and measurements that decide them."""
