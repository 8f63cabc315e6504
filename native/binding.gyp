{
  "variables": {
    # node-gyp rebuild -C native -- -Dsanitize=1: ASan and UBSan, for scripts/test-native-sanitized.sh
    "sanitize%": "0",
  },
  "targets": [
    {
      "target_name": "registryfs",
      "sources": [
        "addon.cc",
        "arguments.cc",
        "bare_inflate.cc",
        "copy_pass.cc",
        "crc32.cc",
        "deflate_codes.cc",
        "deflate_decoder.cc",
        "deflate_loop.cc",
        "event_queue.cc",
        "file_lock.cc",
        "file_reader.cc",
        "file_writer.cc",
        "fuse_channel.cc",
        "fuse_channel_binding.cc",
        "fuse_mount.cc",
        "gzip_header.cc",
        "hash_lane.cc",
        "inflate_pass.cc",
        "pass_binding.cc",
        "pass_points.cc",
        "process_settings.cc",
        "reference_marker.cc",
        "running_crc32.cc",
        "span_binding.cc",
        "span_inflater.cc",
        "window_maker.cc",
        "xattrs.cc",
        "zero_scanner.cc",
        "zstd_binding.cc",
        "zstd_decoder.cc",
        "zstd_frames.cc",
        "zstd_pass.cc",
      ],
      # Inflate, CRC-32 and SHA-256 are the ones that the node binary exports (doc/api/addons.md), with Node's headers.
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include\")"],
      "defines": ["NAPI_VERSION=8", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "cflags_cc": ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-pthread"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-O3"],
      "ldflags": ["-pthread"],
      # libzstd whole and hidden: a Node that has one of its own must not get this one, nor this addon that one.
      "libraries": ["-l:libzstd.a", "-Wl,--exclude-libs,libzstd.a"],
      "conditions": [
        ["sanitize==1", {
          "cflags_cc": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g"],
          "ldflags": ["-fsanitize=address,undefined"],
        }],
      ],
    },
  ],
}
