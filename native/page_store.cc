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

size_t LengthOf(const iovec* parts, int count) {
  size_t length = 0;
  for (int i = 0; i < count; ++i) length += parts[i].iov_len;
  return length;
}

// `head`: of the kind of notification, before the parts.
void Compose(std::vector<uint8_t>* message, int32_t code, const void* head, size_t headLength,
             const iovec* parts, int count) {
  fuse_out_header header = {};
  header.error = code;
  header.len = static_cast<uint32_t>(sizeof(header) + headLength + LengthOf(parts, count));
  message->clear();
  message->reserve(header.len);
  Append(message, &header, sizeof(header));
  Append(message, head, headLength);
  for (int i = 0; i < count; ++i) Append(message, parts[i].iov_base, parts[i].iov_len);
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
    message = TakeFree();
  }
  fuse_notify_store_out store = {};
  store.nodeid = inode;
  store.offset = offset;
  store.size = static_cast<uint32_t>(LengthOf(parts, count));
  Compose(&message, FUSE_NOTIFY_STORE, &store, sizeof(store), parts, count);
  std::lock_guard<std::mutex> lock(mutex_);
  Queue(std::move(message));
  return true;
}

void PageStore::Notify(int32_t code, const iovec* parts, int count) {
  std::vector<uint8_t> message;
  Compose(&message, code, nullptr, 0, parts, count);
  std::lock_guard<std::mutex> lock(mutex_);
  Queue(std::move(message));
}

std::vector<uint8_t> PageStore::TakeFree() {
  if (free_.empty()) return {};
  std::vector<uint8_t> message = std::move(free_.back());
  free_.pop_back();
  return message;
}

void PageStore::Queue(std::vector<uint8_t> message) {
  if (stopped_) return;
  queued_.push_back(std::move(message));
  changed_.notify_one();
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
