// What the stress programs of reads ask for over the socket that stands in for /dev/fuse.
#pragma once

#include <linux/fuse.h>
#include <sys/socket.h>

#include <cstdint>

// The byte that a tar has at this place.
inline uint8_t ByteAt(uint64_t offset) { return static_cast<uint8_t>(1 + offset % 251); }

// False where it cannot be sent.
inline bool SendRead(int kernel, uint64_t unique, uint64_t handle, uint64_t offset, uint32_t size) {
  struct {
    fuse_in_header header;
    fuse_read_in read;
  } request = {};
  request.header.len = sizeof(request);
  request.header.opcode = FUSE_READ;
  request.header.unique = unique;
  request.read.fh = handle;
  request.read.offset = offset;
  request.read.size = size;
  return send(kernel, &request, sizeof(request), 0) == sizeof(request);
}
