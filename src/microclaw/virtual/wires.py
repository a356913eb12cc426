"""The control socket's hands on the board's UART and SPI wires. Bytes go as hex; holds nothing itself."""

from __future__ import annotations

from typing import assert_never

from microclaw.errors import NotSupported, UnknownName
from microclaw.virtual.board import Board
from microclaw.wire import control as wire


def serve_wires(request: wire.UartRead | wire.UartWrite | wire.SpiRead | wire.SpiConnect, board: Board) -> object:
    """The reply; UnknownName for a UART or bus that the chip lacks, NotSupported when the firmware has no such node."""
    now_ms = round(board.clock.now_ms(), 3)
    match request:
        case wire.UartRead(port=port, since=since):
            _check_node(board, "uart")
            page = board.uarts.sent(port, since, wire.MAX_UART_BYTES_A_PAGE)
            more = len(page.data) == wire.MAX_UART_BYTES_A_PAGE
            return wire.UartPage(page.data.hex(), page.next, page.dropped, more)
        case wire.UartWrite(port=port, data=data):
            _check_node(board, "uart")
            return wire.UartRoom(board.uarts.arrive(port, bytes.fromhex(data)), now_ms)
        case wire.SpiRead(since=since):
            _check_node(board, "spi")
            limit = wire.MAX_SPI_EXCHANGES_A_PAGE
            exchanges = board.spi.exchanges(since, limit)
            rows = tuple(
                wire.SpiRow(round(r.t_ms, 3), r.bus, r.sent.hex(), r.received.hex()) for r in exchanges.records
            )
            return wire.SpiPage(rows, exchanges.next, exchanges.dropped, len(rows) == limit)
        case wire.SpiConnect(bus=bus, loopback=loopback, answers=answers):
            _check_node(board, "spi")
            if bus not in board.spi.hosts:
                known = ", ".join(map(str, board.spi.hosts))
                raise UnknownName(f"no SPI bus {bus} for programs on this chip", next_step=f"buses: {known}")
            board.spi.connect(bus, loopback=loopback, answers=map(bytes.fromhex, answers))
            return wire.Done(now_ms)
        case _:
            assert_never(request)


def _check_node(board: Board, node: str) -> None:
    if node not in board.profile.firmware.device_nodes:
        raise NotSupported(
            f"the firmware of {board.profile.board_id} has no /dev/{node}", next_step=f"start it with --nodes {node}"
        )
