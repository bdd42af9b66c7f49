"""What a name stands for changes, as when pods are replaced one by one."""

import asyncio
import socket
import struct

import grpc.aio

from maas.nlp.v1 import nlp_pb2 as pb
from maas.nlp.v1 import nlp_pb2_grpc
from services.mesh.channel import open_channel
from services.mesh.server import Servicer, serving
from services.mesh.settings import ServiceSettings

NLP = "maas.nlp.v1.NlpService"


class Names(asyncio.DatagramProtocol):
    """A name server that knows one address for every name."""

    def __init__(self):
        self.address = "127.0.0.1"

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, sender):
        question = data[12 : data.index(b"\0", 12) + 5]
        (kind,) = struct.unpack("!H", question[-4:-2])
        found = [self.address] if kind == 1 else []
        header = data[:2] + struct.pack("!HHHHH", 0x8180, 1, len(found), 0, 0)
        answers = [struct.pack("!HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(each) for each in found]
        self.transport.sendto(header + question + b"".join(answers), sender)


class Nlp(nlp_pb2_grpc.NlpServiceServicer):
    """Says who it is."""

    def __init__(self, name):
        self.name = name

    async def AnalyzeSentiment(self, request, context):
        return pb.AnalyzeSentimentResponse(model=self.name)


def server(name: str, address: str):
    settings = ServiceSettings(
        listen_address=address, metrics_address="127.0.0.1:0", notice_seconds=2, drain_seconds=10
    )
    return serving([Servicer(NLP, nlp_pb2_grpc.add_NlpServiceServicer_to_server, Nlp(name))], settings)


async def test_the_only_replica_is_replaced_and_no_call_is_lost():
    """Twice in a few seconds: whoever stops says so, and its callers find the other by the name at once."""
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
    resolver = transport.get_extra_info("sockname")[1]
    hosts, seen, lost = ("127.0.0.1", "127.0.0.2", "127.0.0.3"), [], []
    running = server(hosts[0], f"{hosts[0]}:0")
    port = await running.__aenter__()
    stopping = asyncio.Event()

    async def call_again_and_again(stub):
        while not stopping.is_set():
            try:
                answer = await stub.AnalyzeSentiment(pb.AnalyzeSentimentRequest(contents=["well?"]), timeout=20)
            except grpc.aio.AioRpcError as error:
                lost.append(str(error))
            else:
                seen.append(answer.model)
            await asyncio.sleep(0.005)

    channel = open_channel(f"dns://127.0.0.1:{resolver}/nlp.mesh:{port}", service=NLP, max_message_bytes=2**20)
    async with channel:
        await channel.channel_ready()
        calling = asyncio.create_task(call_again_and_again(nlp_pb2_grpc.NlpServiceStub(channel)))
        for host in hosts[1:]:
            successor = server(host, f"{host}:{port}")
            await successor.__aenter__()
            names.address = host
            await running.__aexit__(None, None, None)
            running = successor
        async with asyncio.timeout(20):
            while seen[-1] != hosts[-1]:
                await asyncio.sleep(0.01)
        stopping.set()
        await calling
    await running.__aexit__(None, None, None)
    transport.close()
    assert lost == []
    assert list(dict.fromkeys(seen)) == list(hosts)
