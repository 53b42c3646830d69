package slacktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// File is a file that a message shows.
type File struct {
	Name, Title, Alt string
	Data             []byte
}

// Upload is the method name of the request that carries a file's bytes, in a [Fault] and in [Server.Calls].
const Upload = "upload"

const maxUpload = 8 << 20

// uploadURL reserves a file and says where its bytes go: on this host, since the client sends its token along.
func (s *Server) uploadURL(r *http.Request, form url.Values) answer {
	size, err := strconv.Atoi(form.Get("length"))
	if err != nil || size <= 0 || size > maxUpload || form.Get("filename") == "" {
		return refuse("invalid_arguments")
	}
	if s.files == nil {
		s.files = map[string]*File{}
	}
	id := fmt.Sprintf("F%04d", len(s.files))
	s.files[id] = &File{Name: form.Get("filename"), Alt: form.Get("alt_txt")}
	return answer{"ok": true, "upload_url": "http://" + r.Host + "/upload/" + id, "file_id": id}
}

// upload takes the bytes of a file.
func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	fault := s.take(Upload)
	if fault.hit(w, false) {
		return
	}
	part, _, err := r.FormFile("file")
	if err != nil {
		http.Error(w, "no file", http.StatusBadRequest)
		return
	}
	data, err := io.ReadAll(io.LimitReader(part, maxUpload))
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[strings.TrimPrefix(r.URL.Path, "/upload/")]
	if err != nil || f == nil {
		http.Error(w, "no such upload", http.StatusNotFound)
		return
	}
	f.Data = data
	_, _ = io.WriteString(w, "OK")
}

// completeUpload shows uploaded files in a message.
func (s *Server) completeUpload(form url.Values) answer {
	c := s.byID(form.Get("channel_id"))
	if c == nil {
		return refuse("channel_not_found")
	}
	var files []struct{ ID, Title string }
	if json.Unmarshal([]byte(form.Get("files")), &files) != nil || len(files) == 0 {
		return refuse("invalid_arguments")
	}
	m := &message{Message: Message{TS: s.nextTS(), Text: form.Get("initial_comment")}}
	shown := []answer{}
	for _, f := range files {
		known := s.files[f.ID]
		if known == nil || known.Data == nil {
			return refuse("file_not_found")
		}
		known.Title = f.Title
		m.Files = append(m.Files, *known)
		shown = append(shown, answer{"id": f.ID, "title": f.Title})
	}
	if root := form.Get("thread_ts"); root != "" {
		if p := c.message(root); p != nil {
			m.thread = root
		}
	}
	c.messages = append(c.messages, m)
	return answer{"ok": true, "files": shown}
}
