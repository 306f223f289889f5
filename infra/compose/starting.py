"""Start a stack: check all that can be checked first, then start in order, and print where everything is."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from har.errors import ServerError
from har.settings import load_settings
from infra.compose.images import find_train_image, require_images
from infra.compose.proxy import StackPlace, write_certificate, write_proxy
from infra.compose.secret_files import FOR_PEOPLE, OF_STREAM, check_secrets, copy_for_people, make_secrets
from infra.compose.serving import StackServing
from infra.compose.stack import FURTHER, PROFILES, SERVICES, Stack

_BOXES = {"batch": "batch", "online-blue": "online", "online-green": "online", "haproxy": "online"}
"""Services that need a box of the champion, and which."""
_PORT_OF = {
    "prefect": "STACK_PREFECT_PORT",
    "mlflow": "STACK_MLFLOW_PORT",
    "haproxy": "STACK_ONLINE_PORT",
    "alertmanager": "STACK_ALERTS_PORT",
    "prometheus": "STACK_PROMETHEUS_PORT",
    "grafana": "STACK_GRAFANA_PORT",
    "mosquitto": "STACK_MQTT_PORT",
}
_DATABASES = "/docker-entrypoint-initdb.d/databases.sh"


def start(stack: Stack, profiles: Sequence[str], console: Console) -> Stack:
    """Start the services of these profiles, and wait until all are healthy.

    A box without an image is left out, and said: a new stack has no champion.

    Returns:
        The stack, with the train image that was found.

    Raises:
        SettingsError: a secret or a choice is not in order.
        ServerError: an image is missing, a port is taken, another folder has the stack's name, or a service does not
            become healthy.
    """
    stack = _with_train_image(stack)
    if "stream" in profiles:
        stack = replace(stack, state=replace(stack.state, chosen={**stack.state.chosen, "STACK_STREAM": "true"}))
    services, missing = chosen_services(stack, profiles)
    _prepare_secrets(stack)
    make_secrets(stack.state.secrets, OF_STREAM)
    with console.status("Looking for the images …"):
        require_images(stack, services)
    _require_free_ports(stack, services)
    stack.state.save()
    settings = load_settings(stack.root)
    place, trusted = StackPlace(stack.state.folder), None
    changed = write_proxy(place, settings, tls=stack.state.tls)
    if stack.state.tls:
        trusted = write_certificate(place, settings, stack.state.hosts)
    with console.status("Handing volumes and secrets to the containers' user …"):
        stack.compose("run", "--rm", "prepare")
    if "postgres" in services:
        with console.status("Starting Postgres …"):
            stack.compose("up", "-d", "postgres")
            stack.wait(["postgres"])
            stack.answer_of("postgres", ["bash", _DATABASES])
    boxes = StackServing(stack, settings)
    with console.status("Starting the other services; a first start prepares two databases …"):
        boxes.prepare(services)
        stack.compose("up", "-d", *services)
        if changed and "haproxy" in services:
            boxes.reload()
        stack.wait(services)
    boxes.clear()
    print_addresses(stack, services, console)
    if trusted is not None:
        console.print(f"Clients of {_tls_address(stack)} have to trust {trusted}.", highlight=False, soft_wrap=True)
    if missing:
        console.print(
            f"No champion is packaged yet, so there is no {' and no '.join(missing)} box. After the deployments "
            "`train/weekly` and `package/champion` have run: make stack-images.",
            highlight=False,
        )
    return stack


def chosen_services(stack: Stack, profiles: Iterable[str]) -> tuple[list[str], list[str]]:
    """The services of the profiles that have an image, and the boxes without one."""
    asked = set(profiles) or set(PROFILES)
    services, missing = [], []
    for profile, group in {**SERVICES, **FURTHER}.items():
        for service in group if profile in asked else ():
            box, colour = _BOXES.get(service), service.removeprefix("online-")
            if colour != service and "online" in stack.state.images and colour not in stack.state.boxes:
                continue  # no version is being released
            if box is None or box in stack.state.images:
                services.append(service)
            elif box not in missing:
                missing.append(box)
    return services, missing


def print_addresses(stack: Stack, services: Sequence[str], console: Console) -> None:
    """Print one table: what is where, and how to log in."""
    chosen = stack.state.chosen
    host = stack.state.host

    def copy(name: str) -> str:
        return str(copy_for_people(stack.state.secrets, name).relative_to(stack.root))

    login, grafana, token = map(copy, FOR_PEOPLE)
    rows = {
        "prefect": ("Prefect: runs, schedules", f"password: the line in {login}"),
        "mlflow": ("MLflow: models, figures", f"user har; password: what follows the colon in {login}"),
        "haproxy": ("online service", f"feedback needs the token in {token}"),
        "alertmanager": ("Alertmanager: alerts", "no login"),
        "prometheus": ("Prometheus: figures", "no login"),
        "grafana": ("Grafana: charts", f"user har; password: {grafana}"),
        "mosquitto": ("MQTT: samples of devices", f"user device; password: {copy('device_password')}"),
    }
    table = Table(title=f"The stack {stack.state.project} is running")
    for heading in ("what", "where", "login"):
        table.add_column(heading, overflow="fold")
    for service, (what, how) in rows.items():
        if service in services:
            where = stack.state.plain_host if service == "haproxy" else host
            scheme = "mqtt" if service == "mosquitto" else "http"
            table.add_row(what, f"{scheme}://{where}:{chosen[_PORT_OF[service]]}", how)
            if service == "haproxy" and stack.state.tls:
                table.add_row(f"{what}, with TLS", _tls_address(stack), how)
    console.print(table)
    console.print(
        "Recordings go into the inbox by: python -m infra.compose put PATH. `make stack-status` shows the parts, "
        "`make stack-down` stops them and keeps the data.",
        highlight=False,
    )


def _tls_address(stack: Stack) -> str:
    return f"https://{stack.state.host}:{stack.state.chosen['STACK_TLS_PORT']}"


def _with_train_image(stack: Stack) -> Stack:
    if "train" in stack.state.images:
        return stack
    found = find_train_image(stack)
    if found is None:
        raise ServerError(
            where="train image",
            expected=f"an image named {stack.name}-train",
            got=f"none that {stack.engine.name} has",
            remedy="Build it: make images. Or name one: make stack STACK_TRAIN_IMAGE=registry.example.org/NAME:TAG.",
        )
    return replace(stack, state=replace(stack.state, images={**stack.state.images, "train": found}))


def _prepare_secrets(stack: Stack) -> None:
    if stack.state.begun:
        check_secrets(stack.state.secrets)
        return
    traces = stack.traces()
    if traces:
        raise ServerError(
            where=f"stack {stack.state.project}",
            problem=f"{stack.engine.name} has it already ({', '.join(traces[:3])} …), started from another folder, or "
            f"from this one before {stack.state.folder} was lost",
            remedy="Give this one another name and other ports: make stack STACK_PROJECT=b STACK_PREFECT_PORT=4300 …; "
            f"or restore {stack.state.folder.name} from a backup. It holds the passwords of the databases.",
        )
    make_secrets(stack.state.secrets)
    check_secrets(stack.state.secrets)


def _require_free_ports(stack: Stack, services: Iterable[str]) -> None:
    bind = stack.state.chosen["STACK_BIND"].strip("[]")
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    for service in services:
        if service not in _PORT_OF or stack.part(service).state == "running":
            continue
        variable = _PORT_OF[service]
        port = int(stack.state.chosen[variable])
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((bind, port))
            except OSError as error:
                raise ServerError(
                    where=f"{bind}:{port}, for {service}",
                    expected="a free port of this machine",
                    got=str(error),
                    remedy=f"Stop what uses it, or choose another one: make stack {variable}={port + 100}.",
                ) from error
