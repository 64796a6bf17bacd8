# Reads length-delimited messages (`rows`) by the descriptors that the first of them holds.
import sys
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, unknown_fields
def delimited(data):
    at = 0
    while at < len(data):
        length = shift = 0
        while True:
            byte = data[at]; at += 1
            length |= (byte & 127) << shift; shift += 7
            if byte < 128: break
        assert at + length <= len(data)
        yield data[at:at + length]
        at += length
messages = delimited(open(sys.argv[1], 'rb').read())
[file] = descriptor_pb2.FileDescriptorSet.FromString(next(messages)).file
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
first = pool.FindMessageTypeByName(file.package + '.' + file.message_type[0].name)
rows = [message_factory.GetMessageClass(first).FromString(message) for message in messages]
