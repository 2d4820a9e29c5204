package integration

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
)

// BenchmarkConcurrentHits compares how many hits a second many goroutines get out of one client, in one interleaved run: a turn
// of each kind, again and again. GET and AutoPipeline are go-redis', and store is cache.Store's Get: they return bytes. bytes is
// cache.Read of a value that needs no decoding, and read is that of a row in JSON.
//
// It reports reads in a second by the median turn, their ratio to those of AutoPipeline (of GET for a lone reader), and the
// processor time that this process and that redis-server spend on a read.
//
// Run it with -benchtime=25x or more: an iteration is a turn of 2048 reads of each kind.
func BenchmarkConcurrentHits(b *testing.B) {
	ctx := context.Background()
	w := newBench(b, 64)
	q, rdb := cached.New(w.pool, w.open(shared.URL())), w.client()
	store := cache.NewRedisStore(rdb, false)
	b.Cleanup(func() { must(b, store.Close()) })
	auto, err := rdb.AutoPipeline()
	must(b, err)

	refs := make([]cache.CellRef, len(w.ids))
	for i, id := range w.ids {
		key := fmt.Sprintf("%s:{session:%s}", w.ns, id)
		for refs[i].Key == "" { // until it is stored
			_, err := q.GetSession(ctx, id)
			must(b, err)
			all, err := rdb.HGetAll(ctx, key).Result()
			must(b, err)
			for f, v := range all {
				if f != "@" && v[0] == 'V' {
					refs[i] = cache.CellRef{Key: key, Field: f}
					must(b, rdb.Set(ctx, key+":raw", v, time.Hour).Err())
				}
			}
		}
	}
	b.Cleanup(func() {
		for _, ref := range refs {
			rdb.Del(ctx, ref.Key+":raw")
		}
	})
	text := strings.Repeat("x", 700)
	plain, err := cache.Open(shared.URL(), cache.Options{Namespace: w.ns, Codec: bytesCodec{}})
	must(b, err)
	b.Cleanup(func() { must(b, plain.Close()) })
	blobs := cache.NewGroup[int]("blob", cache.GroupOptions{TTL: time.Hour})
	blob := cache.NewQuery[[]byte]("Blob", "1", cache.QueryOptions{})
	readBlob := func(i int) error {
		_, err := cache.Read(ctx, plain, blobs.Key(i), blob.Cell(), func(context.Context) ([]byte, error) { return []byte(text), nil })
		return err
	}
	for i := range refs {
		must(b, readBlob(i))
	}
	kinds := []struct {
		name string
		read func(i int) error
	}{
		{"GET", func(i int) error { return rdb.Get(ctx, refs[i].Key+":raw").Err() }},
		{"AutoPipeline", func(i int) error { return auto.Get(ctx, refs[i].Key+":raw").Err() }},
		{"store", func(i int) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, _, err := store.Get(ctx, refs[i], nil)
			return err
		}},
		{"bytes", readBlob},
		{"read", func(i int) error { _, err := q.GetSession(ctx, w.ids[i]); return err }},
	}
	for _, goroutines := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			const turn = 2048
			wall := make([][]time.Duration, len(kinds))
			ours := make([]time.Duration, len(kinds))
			server := make([]time.Duration, len(kinds))
			for range b.N {
				for k, kind := range kinds {
					before, cpu := redisCPU(b, rdb), cpuTime()
					start := time.Now()
					var wg sync.WaitGroup
					for g := range goroutines {
						wg.Go(func() {
							for i := range turn / goroutines {
								if err := kind.read((i*7 + g) % len(refs)); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
					wall[k] = append(wall[k], time.Since(start))
					ours[k] += cpuTime() - cpu
					server[k] += redisCPU(b, rdb) - before
				}
			}
			b.ReportMetric(0, "ns/op") // a turn's time means nothing
			for _, turns := range wall {
				slices.Sort(turns)
			}
			beside := 1
			if goroutines == 1 {
				beside = 0
			}
			median := func(k int) time.Duration { return wall[k][b.N/2] }
			for k, kind := range kinds {
				b.ReportMetric(turn/median(k).Seconds()/1e3, kind.name+"-k/s")
				b.ReportMetric(float64(median(beside))/float64(median(k)), kind.name+"-ratio")
				b.ReportMetric(float64(ours[k].Microseconds())/float64(turn*b.N), kind.name+"-cpu-µs")
				b.ReportMetric(float64(server[k].Microseconds())/float64(turn*b.N), kind.name+"-redis-µs")
			}
		})
	}
}

// redisCPU is the processor time that the server's main thread has used.
func redisCPU(b *testing.B, rdb *redis.Client) time.Duration {
	b.Helper()
	info, err := rdb.Info(context.Background(), "cpu").Result()
	must(b, err)
	var sum float64
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user_main_thread" || name == "used_cpu_sys_main_thread" {
			seconds, err := strconv.ParseFloat(value, 64)
			must(b, err)
			sum += seconds
		}
	}
	return time.Duration(sum * float64(time.Second))
}

// bytesCodec leaves a value as it is.
type bytesCodec struct{}

func (bytesCodec) Name() string                       { return "bytes" }
func (bytesCodec) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (bytesCodec) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
