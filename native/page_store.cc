#include "page_store.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <unistd.h>

#include <cstring>
#include <thread>
#include <utility>

namespace registryfs {

namespace {
// As many blocks of a first pass as it may be ahead of the kernel.
constexpr size_t kMaximumQueued = 8;

void Append(std::vector<uint8_t>* message, const void* data, size_t length) {
  const uint8_t* bytes = static_cast<const uint8_t*>(data);
  message->insert(message->end(), bytes, bytes + length);
}
}  // namespace

std::shared_ptr<PageStore> PageStore::Start(int descriptor) {
  std::shared_ptr<PageStore> store(new PageStore(fcntl(descriptor, F_DUPFD_CLOEXEC, 0)));
  std::thread([store] { store->Run(); }).detach();
  return store;
}

PageStore::~PageStore() { close(descriptor_); }

bool PageStore::Add(uint64_t inode, uint64_t offset, const iovec* parts, int count) {
  std::vector<uint8_t> message;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_ || queued_.size() >= kMaximumQueued) return false;
    if (!free_.empty()) {
      message = std::move(free_.back());
      free_.pop_back();
    }
  }
  size_t length = 0;
  for (int i = 0; i < count; ++i) length += parts[i].iov_len;
  fuse_out_header header = {};
  header.error = FUSE_NOTIFY_STORE;
  header.len = static_cast<uint32_t>(sizeof(header) + sizeof(fuse_notify_store_out) + length);
  fuse_notify_store_out store = {};
  store.nodeid = inode;
  store.offset = offset;
  store.size = static_cast<uint32_t>(length);
  message.clear();
  message.reserve(header.len);
  Append(&message, &header, sizeof(header));
  Append(&message, &store, sizeof(store));
  for (int i = 0; i < count; ++i) Append(&message, parts[i].iov_base, parts[i].iov_len);
  std::lock_guard<std::mutex> lock(mutex_);
  queued_.push_back(std::move(message));
  changed_.notify_one();
  return true;
}

void PageStore::Stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  stopped_ = true;
  queued_.clear();
  changed_.notify_one();
}

void PageStore::Run() {
  for (;;) {
    std::vector<uint8_t> message;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return stopped_ || !queued_.empty(); });
      if (stopped_) return;
      message = std::move(queued_.front());
      queued_.pop_front();
    }
    // A refusal (the inode is forgotten, the mount is gone) costs nobody anything: the pages are read when
    // needed.
    if (write(descriptor_, message.data(), message.size()) < 0) message.clear();
    std::lock_guard<std::mutex> lock(mutex_);
    if (free_.size() < kMaximumQueued) free_.push_back(std::move(message));
  }
}

}  // namespace registryfs
