"""The text files that tensorflow_model_server reads, written by protobuf."""

from __future__ import annotations

from google.protobuf import text_format
from google.protobuf.message import Message

from ctrkit.errors import ConfigError
from ctrkit.serving.deployment.options import DeployedModel, DeploymentOptions
from ctrkit.serving.deployment.paths import base_path
from ctrkit.serving.options import TlsOptions
from ctrkit.serving.protos import deployment_pb2, model_server_config_pb2
from ctrkit.serving.tls import check

ENQUEUED = 20  # Batches that may wait: beyond it requests are refused, which is quicker than a deadline.


def models_config(model: DeployedModel, options: DeploymentOptions) -> str:
    """--model_config_file: which versions are served, and their labels."""
    message = model_server_config_pb2.ModelServerConfig()
    config = message.model_config_list.config.add(
        name=model.name, base_path=base_path(model, options), model_platform="tensorflow"
    )
    if options.labels:
        config.model_version_policy.specific.versions.extend(sorted(set(options.versions_by_label.values())))
        config.version_labels.update(options.versions_by_label)
    else:
        config.model_version_policy.latest.num_versions = options.latest
    again = f"reads this again every {options.config_poll_seconds} s, which undoes what ReloadConfig calls did"
    head = [
        "Which versions are served; tensorflow_model_server "
        f"{again if options.config_poll_seconds else 'reads this when it starts'}.",
        "The new version is loaded and warmed before the old one goes: the memory must hold both.",
    ]
    if options.labels:
        head.append("Labels point to versions listed above alone: to promote a canary, change label and list together.")
    return _text(message, head)


def batching_config(model: DeployedModel, options: DeploymentOptions) -> str:
    """--batching_parameters_file: how requests are merged, if they are."""
    largest = max(model.buckets, default=1000)
    message = deployment_pb2.DeploymentFiles.Batching(allowed_batch_sizes=model.buckets)
    message.max_batch_size.value = largest
    message.batch_timeout_micros.value = options.batch_timeout_micros
    message.max_enqueued_batches.value = ENQUEUED
    message.num_batch_threads.value = options.cpu
    message.thread_pool_name.value = "requests"
    head = [
        "Used with --enable_batching alone, which is " + ("on here." if options.batching else "off here."),
        f"Requests are merged for {options.batch_timeout_micros} us at most, then padded to the next of "
        "allowed_batch_sizes: those that are warmed, and that XLA has compiled.",
        f"A request of more than {largest} rows is refused.",
        "Batching refuses signature `rank`, whose one user and many candidates are different numbers of rows: "
        "ask `serving_default` or `named`.",
    ]
    return _text(message, head)


def monitoring_config(options: DeploymentOptions) -> str:
    """--monitoring_config_file: Prometheus metrics on the REST port."""
    message = deployment_pb2.DeploymentFiles.Monitoring()
    message.prometheus_config.enable = True
    message.prometheus_config.path = options.metrics_path
    return _text(message, [f"Prometheus finds the metrics on port {options.rest_port}."])


def ssl_config(tls: TlsOptions) -> str:
    """--ssl_config_file: certificate and private key themselves, so the file is a secret.

    Raises `ConfigError` when they cannot be read or do not fit.
    """
    check(tls)
    try:
        message = deployment_pb2.DeploymentFiles.Ssl(
            server_key=tls.key.read_text(encoding="ascii"), server_cert=tls.certificate.read_text(encoding="ascii")
        )
        if tls.client_authority is not None:
            message.custom_ca = tls.client_authority.read_text(encoding="ascii")
            message.client_verify = True
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"A file of `tls` is not in PEM form: {error}. Expected -----BEGIN CERTIFICATE-----."
        ) from error
    return _text(message, ["SECRET: holds the private key. TLS covers the gRPC port; the REST port stays plain."])


def _text(message: Message, head: list[str]) -> str:
    return "".join(f"# {line}\n" for line in head) + text_format.MessageToString(message)
