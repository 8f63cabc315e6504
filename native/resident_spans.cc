#include "resident_spans.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace registryfs {

void ResidentSpans::ShowUpTo(uint64_t space, uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  spaces_[space].shownBytes = bytes;
}

void ResidentSpans::Publish(const Place& place, const uint8_t* data, size_t length) {
  std::unique_lock<std::mutex> lock(mutex_);
  auto& spans = spaces_[place.space].spans;
  const auto offered = spans.find(place.offset);
  if (offered != spans.end() && offered->second.isOffered && offered->second.data == data &&
      offered->second.length == length) {
    offered->second.isOffered = false;
    // Whoever read it meanwhile was not told of.
    offered->second.epoch = 0;
    return;
  }
  // It may be offered anew while that waits.
  while (spans.find(place.offset) != spans.end()) WithdrawLocked(place, &lock);
  if (length > 0) spans.emplace(place.offset, Span{data, length});
}

void ResidentSpans::Withdraw(const Place& place) {
  std::unique_lock<std::mutex> lock(mutex_);
  WithdrawLocked(place, &lock);
}

void ResidentSpans::Offer(const Place& place, const uint8_t* data, size_t length, uint64_t generation) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Space& space = spaces_[place.space];
    if (space.generation != generation || length == 0) return;
    const auto [span, isNew] = space.spans.emplace(place.offset, Span{data, length});
    if (isNew) span->second.isOffered = true;
  }
  const std::shared_lock<std::shared_mutex> lock(watching_);
  for (const auto& [watcher, onOffered] : watchers_) onOffered();
}

void ResidentSpans::Retract(const Place& place) {
  std::unique_lock<std::mutex> lock(mutex_);
  auto& spans = spaces_[place.space].spans;
  const auto span = spans.find(place.offset);
  if (span != spans.end() && span->second.isOffered) WithdrawLocked(place, &lock);
}

uint64_t ResidentSpans::GenerationOf(uint64_t space) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return spaces_[space].generation;
}

void ResidentSpans::Renew(uint64_t number) {
  std::unique_lock<std::mutex> lock(mutex_);
  Space& space = spaces_[number];
  ++space.generation;
  const auto isOffered = [](const auto& span) { return span.second.isOffered; };
  for (;;) {
    const auto span = std::find_if(space.spans.begin(), space.spans.end(), isOffered);
    if (span == space.spans.end()) return;
    // Others may come and go meanwhile, but no more offers.
    WithdrawLocked({number, span->first}, &lock);
  }
}

void ResidentSpans::Watch(const void* watcher, std::function<void()> onOffered) {
  const std::lock_guard<std::shared_mutex> lock(watching_);
  watchers_[watcher] = std::move(onOffered);
}

void ResidentSpans::Unwatch(const void* watcher) {
  const std::lock_guard<std::shared_mutex> lock(watching_);
  watchers_.erase(watcher);
}

void ResidentSpans::WithdrawLocked(const Place& place, std::unique_lock<std::mutex>* lock) {
  const auto space = spaces_.find(place.space);
  if (space == spaces_.end()) return;
  // Out of the map first: nobody finds it any more, those who have it still know where it is.
  const auto node = space->second.spans.extract(place.offset);
  if (node.empty()) return;
  ++waiting_;
  released_.wait(*lock, [&node] { return node.mapped().holders == 0; });
  --waiting_;
}

void ResidentSpans::OpenFile(uint64_t handle, const Place& place, uint64_t size) {
  const std::lock_guard<std::mutex> lock(mutex_);
  files_[handle] = {place, size};
}

void ResidentSpans::CloseFile(uint64_t handle) {
  const std::lock_guard<std::mutex> lock(mutex_);
  files_.erase(handle);
}

void ResidentSpans::CloseAllFiles() {
  const std::lock_guard<std::mutex> lock(mutex_);
  files_.clear();
}

bool ResidentSpans::IsOpen(uint64_t handle) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return files_.count(handle) > 0;
}

void ResidentSpans::BeginEpoch() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++epoch_;
}

bool ResidentSpans::Find(uint64_t handle, uint64_t offset, size_t length, Found* found) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto file = files_.find(handle);
  if (file == files_.end() || offset >= file->second.size) return false;
  const Place& start = file->second.place;
  const auto known = spaces_.find(start.space);
  if (known == spaces_.end()) return false;
  Space& space = known->second;
  uint64_t at = start.offset + offset;
  const uint64_t end = at + std::min<uint64_t>(length, file->second.size - offset);
  if (end > space.shownBytes) return false;
  auto next = space.spans.upper_bound(at);
  if (next == space.spans.begin()) return false;
  std::array<decltype(next), kMaximumParts> spans;
  int count = 0;
  for (auto span = std::prev(next); at < end; ++span) {
    if (span == space.spans.end() || count == kMaximumParts) return false;
    const uint64_t spanEnd = span->first + span->second.length;
    if (span->first > at || spanEnd <= at) return false;
    spans[count++] = span;
    at = spanEnd;
  }
  at = start.offset + offset;
  for (int i = 0; i < count; ++i) {
    const uint64_t first = spans[i]->first;
    Span& span = spans[i]->second;
    const size_t taken = static_cast<size_t>(std::min(end, first + span.length) - at);
    Hold({start.space, first}, &span, at - first, taken, found);
    at += taken;
  }
  return true;
}

void ResidentSpans::Hold(const Place& place, Span* span, uint64_t at, size_t length, Found* found) {
  found->parts_[found->count_] = {const_cast<uint8_t*>(span->data) + at, length};
  found->held_[found->count_++] = span;
  ++span->holders;
  if (span->epoch == epoch_) return;
  span->epoch = epoch_;
  found->touched.push_back(place);
}

void ResidentSpans::Release(Found* found) {
  if (found->count_ == 0) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  bool isFree = false;
  for (int i = 0; i < found->count_; ++i) isFree |= --found->held_[i]->holders == 0;
  if (isFree && waiting_ > 0) released_.notify_all();
}

}  // namespace registryfs
